"""The SQL of the API's functions: the only place in Python that has it. One typed function for each, taking a
connection.

Every statement runs by itself (autocommit) and is prepared by asyncpg. Values travel as JSON text, so that a pool with
codecs of its own for json and jsonb does not matter. Errors of PostgreSQL become pgstate's, by SQLSTATE.
"""
