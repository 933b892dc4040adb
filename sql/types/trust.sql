create type pgstate.trust as enum ('external', 'agent', 'verified', 'operator');
comment on type pgstate.trust is 'How far what a version says can be relied on, the lowest first.';
