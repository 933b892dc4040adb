"""The SQL of the API's functions: the only place in Python that has it. One typed function for each, taking a
connection.

A statement runs by itself (autocommit), under a lane where sending it twice would do it twice; or without a lane inside
a transaction of the caller's, where the database's trigger wakes watchers. Values travel as JSON text: codecs that a
connection has for json and jsonb do not matter. Errors of PostgreSQL become pgstate's, by SQLSTATE.
"""
