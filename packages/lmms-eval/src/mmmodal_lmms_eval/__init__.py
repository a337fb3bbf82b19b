"""MMModal's models in lmms-eval, which finds them by an entry point of `lmms_eval.models`."""
