create type pgstate.embedded as (key text, status text);
comment on type pgstate.embedded is 'What set_vectors() did for a key: ok, stale (the text has changed, or they are there already), or denied.';
