create type pgstate._used as (entries bigint, bytes bigint, writes bigint);
comment on type pgstate._used is 'Internal: what an agent has used.';
