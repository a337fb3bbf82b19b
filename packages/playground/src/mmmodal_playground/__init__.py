"""A small world with ground truth: pictures, speech, dialogues about them, and tiny parts."""

__all__: list[str] = []
