create type pgstate.unembedded_row as (key text, version bigint, digest text, vectors text, model text, dims int, texts text[]);
comment on type pgstate.unembedded_row is 'An entry that waits for its vectors: one for each of texts, by that model. set_vectors() takes them with the digest, which is of these texts.';
