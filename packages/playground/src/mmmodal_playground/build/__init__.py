"""Train the shipped parts: `python -m mmmodal_playground.build`."""
