create type pgstate._origin as (trust pgstate.trust, meta jsonb, fault text);
comment on type pgstate._origin is 'Internal: what a write says of where its value comes from: the most that it may be trusted, what its version keeps of that, and the SQLSTATE if it may not say so.';
