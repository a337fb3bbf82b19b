"""The bilingual row, its table of columns, and the records it is read from and written to."""

from mmmodal_datagen.rows.row import Call, Gate, Medium, Origin, Piece, Relation, Row, Turn

__all__ = ["Call", "Gate", "Medium", "Origin", "Piece", "Relation", "Row", "Turn"]
