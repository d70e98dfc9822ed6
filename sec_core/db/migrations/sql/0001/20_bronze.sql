-- The ledger of Bronze. Rebuilt from the files: bodies and journal are the truth, these tables are its index.

create table capturas (
    hora                timestamptz primary key,
    estado              text not null check (estado in ('captured', 'empty', 'failed', 'quarantined')),
    forma               text check (forma in ('detailed', 'aggregated')),
    capturado_en        timestamptz,
    sha256              text,
    bytes               integer,
    n_filas             integer,
    clientes            bigint,
    n_revisiones        integer not null default 0,
    intentos            integer not null default 0,
    primera_consulta    timestamptz,
    ultima_consulta     timestamptz,
    vacio_desde         timestamptz,
    fallos_seguidos     integer not null default 0,
    codigo_error        text,
    ultimo_error        text,
    sospechosa          boolean not null default false,
    total_nacional      bigint,
    diferencia_nacional bigint
);
comment on table capturas is 'The ledger: what is known of every hour asked for. An hour without a row is pending.';
comment on column capturas.hora is 'Instant at which the hour begins.';
comment on column capturas.estado is 'captured, empty (the source has no data, which is not zero outages), failed, or quarantined (a body that fits no known shape).';
comment on column capturas.forma is 'Shape of the hour''s value: detailed or aggregated. Null where the hour has no value.';
comment on column capturas.capturado_en is 'When the hour''s value was received. The value is the newest detailed capture, else the newest aggregated one.';
comment on column capturas.sha256 is 'SHA-256 of the value''s body as received, hexadecimal.';
comment on column capturas.bytes is 'Size of the value''s body as received, bytes.';
comment on column capturas.n_filas is 'Rows in the value''s body.';
comment on column capturas.clientes is 'Customers affected: sum of the valid counts in the value''s body.';
comment on column capturas.n_revisiones is 'Different bodies held of this hour, of any shape.';
comment on column capturas.intentos is 'How often the hour was asked for.';
comment on column capturas.primera_consulta is 'When it was first asked for.';
comment on column capturas.ultima_consulta is 'When it was last asked for.';
comment on column capturas.vacio_desde is 'Since when all answers were empty; null once it has a value. After a week of it the hour is settled.';
comment on column capturas.fallos_seguidos is 'Failures in a row until now.';
comment on column capturas.codigo_error is 'Code of the last error, null after a success.';
comment on column capturas.ultimo_error is 'The last error in words, null after a success.';
comment on column capturas.sospechosa is 'The value looks like a corrupt cycle: under a tenth of the rows of its neighbouring captured hours, where those had 20 or more.';
comment on column capturas.total_nacional is 'Customers affected in the whole country by the source''s own series, where it covers the hour.';
comment on column capturas.diferencia_nacional is 'total_nacional less clientes, customers.';

create table revisiones (
    hora         timestamptz not null,
    capturado_en timestamptz not null,
    resultado    text not null check (resultado in ('captured', 'empty', 'quarantined')),
    forma        text check (forma in ('detailed', 'aggregated')),
    origen       text not null check (origen in ('sec', 'legacy')),
    clave        text not null,
    sha256       text not null,
    bytes        integer not null,
    n_filas      integer not null default 0,
    clientes     bigint not null default 0,
    motivo       text,
    primary key (hora, capturado_en, origen)
);
comment on table revisiones is 'Every body held in Bronze: an hour has one for each different answer.';
comment on column revisiones.hora is 'Instant at which the hour begins.';
comment on column revisiones.capturado_en is 'When the answer was received.';
comment on column revisiones.resultado is 'captured, empty or quarantined.';
comment on column revisiones.forma is 'Shape of a captured body: detailed or aggregated.';
comment on column revisiones.origen is 'sec (asked for by this pipeline) or legacy (from the team''s older dataset).';
comment on column revisiones.clave is 'The body''s key in the Bronze store.';
comment on column revisiones.sha256 is 'SHA-256 of the body as received, hexadecimal.';
comment on column revisiones.bytes is 'Size of the body as received, bytes.';
comment on column revisiones.n_filas is 'Rows in the body.';
comment on column revisiones.clientes is 'Customers affected: sum of the valid counts in the body.';
comment on column revisiones.motivo is 'Why a body is in quarantine.';
