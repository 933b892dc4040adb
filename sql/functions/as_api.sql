-- What follows belongs to pgstate_api, which owns no table: row-level security binds it.
set local role pgstate_api;
