"""Temporal in one process, for proofs: the server and the SDK's core, as far as Kilonova uses them.

Everything above is real: the client, the workers, the workflows' event loops, the activities with their threads,
interceptors and converters. What is put in the place of the server speaks the same messages on both sides: gRPC
requests from clients (``service``), activations and activity tasks to workers (``core``). In between a run is what it
is there: a row of tasks with what they were told and what they answered, from which it is made again when it is lost.

It does what a server can't: a run is lost at any step, on its own, at once (``Engine.lose``); and a run costs a
tenth of the processor's time. What it leaves out (queries, Nexus, cron, versions, visibility, heartbeat time-outs, the
order of a backlog) is proven on the server. ``tests/contract/test_engine.py`` holds both to the same answers.
"""
