-- Keys of the signatures of tickets. HMAC (RFC 2104) begins with the key XOR two constants: both are kept in place of the key.
create sequence pgstate.ticket_key_id_seq as int;

create table pgstate.ticket_key (
  id int not null default pg_catalog.nextval('pgstate.ticket_key_id_seq'),
  inner_pad bytea not null,
  outer_pad bytea not null,
  created_at timestamptz not null,
  retired_at timestamptz,
  constraint ticket_key_pkey primary key (id)
);
alter sequence pgstate.ticket_key_id_seq owned by pgstate.ticket_key.id;
alter table pgstate.ticket_key enable row level security;
comment on table pgstate.ticket_key is 'Keys that sign tickets, by which gateways name agents. The owner alone reads them.';
comment on column pgstate.ticket_key.id is 'Number; a ticket names it.';
comment on column pgstate.ticket_key.inner_pad is 'The key XOR 0x36.';
comment on column pgstate.ticket_key.outer_pad is 'The key XOR 0x5c.';
comment on column pgstate.ticket_key.created_at is 'When it was made.';
comment on column pgstate.ticket_key.retired_at is 'From when on its tickets are not taken; null for the newest.';
comment on sequence pgstate.ticket_key_id_seq is 'Numbers of keys.';
