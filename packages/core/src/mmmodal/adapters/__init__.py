"""LoRA through PEFT: what gets adapters, the folder they are kept in, and how they are merged."""
