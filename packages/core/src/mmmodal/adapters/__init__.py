"""LoRA through PEFT: the target layers, the folder of an adapter, attaching and merging."""
