create type pgstate.harden_step as (action text, agent text, login text, state text, note text);
comment on type pgstate.harden_step is 'A step of harden(): state is there, to do or done; or a note about what it cannot do.';
