"""The modalities of core, which are plugins as any other."""
