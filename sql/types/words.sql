-- Domains rather than CHECK constraints of the tables: those are parsed anew for every statement that writes.
create domain pgstate.entry_kind as text constraint entry_kind_known check (value in ('value', 'thread', 'run'));
comment on domain pgstate.entry_kind is 'What a key holds.';

create domain pgstate.version_op as text
  constraint version_op_known check (value in ('put', 'merge', 'delete', 'complete', 'expire'));
comment on domain pgstate.version_op is 'What made a version.';
