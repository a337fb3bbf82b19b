"""A small world with ground truth: drawn scenes, sounds, dialogues about them, and tiny parts."""

__all__: list[str] = []
