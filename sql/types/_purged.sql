create type pgstate._purged as (removed bigint, epoch int, xid xid8);
comment on type pgstate._purged is 'Internal: a purge: how many versions went, null when it must wait; epoch and xid: the horizon that follows from it.';
