"""Serve the language model part by OpenAI's protocol, to try data pipelines."""
