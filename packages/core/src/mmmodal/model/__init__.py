"""The composed model: configuration, network, splice, generation and processing."""
