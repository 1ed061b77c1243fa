"""Starts bqemulator without network: it would download DuckDB's spatial extension at start, which only GEOGRAPHY
functions need. Arguments are bqemulator's own."""

import inspect
import runpy
import sys

import bqemulator.storage.engine as engine

for _, each in inspect.getmembers(engine, inspect.isclass):
    if hasattr(each, "_load_spatial"):
        each._load_spatial = lambda *args, **kwargs: None

sys.argv[0] = "bqemulator"
runpy.run_module("bqemulator", run_name="__main__")
