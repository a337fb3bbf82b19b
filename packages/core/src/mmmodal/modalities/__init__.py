"""The kinds of data that ship with core: plugins like any other."""
