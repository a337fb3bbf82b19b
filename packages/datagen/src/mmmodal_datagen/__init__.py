"""The data pipeline: conversations about several media, made from simpler ones."""

from mmmodal_datagen.sessions import compose_sessions

__all__ = ["compose_sessions"]
