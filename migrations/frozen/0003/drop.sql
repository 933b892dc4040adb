-- Back to 0002.
set local role pgstate_owner;
alter type pgstate._actor drop attribute horizon;
comment on type pgstate._actor is 'Internal: the acting agent with its cached rights; in a write also whether its lane is ready, or what the lane kept.';
drop type pgstate._look;
drop type pgstate._feed_row;

reset role;
