"""The language model part behind OpenAI's protocol, to try data pipelines with."""
