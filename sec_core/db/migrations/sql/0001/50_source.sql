-- Politeness for the whole machine: one row each, shared by all processes on this database. The requests in flight are
-- session advisory locks, not rows: a process that dies frees them at once.

create table ritmo_fuente (
    fuente      text primary key,
    proxima_en  timestamptz not null default '-infinity',
    pausa_hasta timestamptz not null default '-infinity'
);
comment on table ritmo_fuente is 'The shared pace: hands out the times at which requests may be sent.';
comment on column ritmo_fuente.fuente is 'Which source.';
comment on column ritmo_fuente.proxima_en is 'Instant from which the next request may be sent, by the database''s clock.';
comment on column ritmo_fuente.pausa_hasta is 'Until when the source asked not to be asked (Retry-After), by the database''s clock.';
insert into ritmo_fuente (fuente) values ('sec');

create table circuito_fuente (
    fuente          text primary key,
    estado          text not null default 'closed' check (estado in ('closed', 'open', 'half_open')),
    fallos_seguidos integer not null default 0,
    abierto_en      timestamptz,
    reabre_en       timestamptz,
    prueba_hasta    timestamptz,
    prueba_de       uuid,
    codigo_error    text,
    ultimo_error    text
);
comment on table circuito_fuente is 'The shared circuit breaker: while it is open no process asks the source.';
comment on column circuito_fuente.fuente is 'Which source.';
comment on column circuito_fuente.estado is 'closed, open, or half_open (one probe is out).';
comment on column circuito_fuente.fallos_seguidos is 'Failures in a row until now.';
comment on column circuito_fuente.abierto_en is 'When it was opened.';
comment on column circuito_fuente.reabre_en is 'From when one probe may go out.';
comment on column circuito_fuente.prueba_hasta is 'Until when the probe that is out counts; afterwards another process may probe.';
comment on column circuito_fuente.prueba_de is 'Which probe is out, so that only its own outcome decides.';
comment on column circuito_fuente.codigo_error is 'Code of the last failure, null after a success.';
comment on column circuito_fuente.ultimo_error is 'The last failure in words, null after a success.';
insert into circuito_fuente (fuente) values ('sec');
