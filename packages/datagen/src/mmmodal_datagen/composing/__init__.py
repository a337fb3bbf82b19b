"""Sessions about several media: which rows are drawn, and how they become one."""
