"""Collective operations of the processes of a launcher; a single process sends nothing."""

from mmmodal.ranks import everyones, joined, of_first, rank, ranks

__all__ = ["everyones", "joined", "of_first", "rank", "ranks"]
