-- From 0011.
set local role pgstate_owner;

-- Each statement that writes there read and planned it anew, a fortieth of a put.
alter table pgstate.entry drop constraint entry_live_has_value;
