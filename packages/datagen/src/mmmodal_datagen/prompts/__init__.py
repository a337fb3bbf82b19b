"""Prompts to language models, and usable answers to them, for the steps that ask one."""
