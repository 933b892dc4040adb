create type pgstate._keep as (versions int, age interval);
comment on type pgstate._keep is 'Internal: the history to keep of one key: so many versions, or so long; both null for everything.';
