"""Texts cut into what is translated and what is kept, and checks of what came back."""
