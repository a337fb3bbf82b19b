"""`python -m mmmodal`, for launchers such as torchrun."""

from mmmodal.cli.main import main

if __name__ == "__main__":
    main()
