-- Back to 0002.
set local role pgstate_owner;

-- Search
drop table pgstate.embedding_wanted, pgstate.embedding, pgstate.search_doc, pgstate.search_build, pgstate.search_rule, pgstate.vector_index;
drop type pgstate._search_part;
drop type pgstate.embedded;
drop type pgstate.found;
drop type pgstate.search_row;
drop type pgstate.unembedded_row;
drop type pgstate.vectors_row;

reset role;
