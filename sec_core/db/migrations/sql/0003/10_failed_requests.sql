alter table circuito_fuente add column fallos_de text[] not null default '{}';
comment on column circuito_fuente.fallos_de is
    'What failed since the last success, each request once; empty text for a failure that concerns all.';
