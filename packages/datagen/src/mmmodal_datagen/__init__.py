"""The data pipeline: bilingual conversations about several media, made from simpler data."""
