create type pgstate.channel_row as (channel text, type text, version text, value jsonb);
comment on type pgstate.channel_row is 'A channel of a checkpoint: its value where that is JSON, its serializer''s type.';
