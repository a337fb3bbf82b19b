"""The formats of rows that ship with core, one in each module."""
