"""Train the shipped parts from a seed: `python -m mmmodal_playground.build`."""
