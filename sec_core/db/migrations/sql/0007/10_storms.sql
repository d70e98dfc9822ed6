-- The catalogue of storms.

create table tormentas (
    id                text primary key,
    nombre            text,
    inicio            timestamptz not null,
    fin               timestamptz,
    hora_punta        timestamptz not null,
    punta             bigint not null,
    cliente_horas     bigint,
    comunas           integer not null,
    regiones          text not null,
    horas_hasta_punta integer,
    horas_50          integer,
    horas_90          integer,
    horas_95          integer,
    salidas           bigint,
    reposiciones      bigint,
    reposicion_maxima bigint,
    cobertura         double precision not null,
    abierta           boolean not null,
    nota              text
);
comment on table tormentas is 'Storms: connected comunas without power, measured above their usual level. Made by each build of Gold; see docs/storms.md.';
comment on column tormentas.id is 'Identity: MD5 of YYYYMMDDTHH|code (first hour in Chile, lowest code hit in it), as a UUID.';
comment on column tormentas.nombre is 'Name from the reviewed list; null for most.';
comment on column tormentas.inicio is 'First loaded hour in which a comuna is hit.';
comment on column tormentas.fin is 'Hour from which the curve stays at or under 5% of its peak; null while open.';
comment on column tormentas.hora_punta is 'Hour of the peak.';
comment on column tormentas.punta is 'Most customers out above the usual level in a loaded hour.';
comment on column tormentas.cliente_horas is 'Customer-hours above the usual level; null where a gap lies inside.';
comment on column tormentas.comunas is 'Comunas hit.';
comment on column tormentas.regiones is 'Codes of their regions, parted by commas.';
comment on column tormentas.horas_hasta_punta is 'Hours from the beginning to the peak; null where a gap hides them.';
comment on column tormentas.horas_50 is 'Hours from the peak until half of it is restored; null where a gap hides them.';
comment on column tormentas.horas_90 is 'Hours from the peak until 90% of it are restored; null where a gap hides them.';
comment on column tormentas.horas_95 is 'Hours from the peak until 95% of it are restored; null where a gap hides them.';
comment on column tormentas.salidas is 'Sum of the rises of the curve from hour to hour; null where a gap hides them.';
comment on column tormentas.reposiciones is 'Sum of the falls of the curve from hour to hour; null where a gap hides them.';
comment on column tormentas.reposicion_maxima is 'Most customers restored in an hour; null where a gap hides it.';
comment on column tormentas.cobertura is 'Loaded hours over expected ones, from beginning to end.';
comment on column tormentas.abierta is 'Whether it has no end yet.';
comment on column tormentas.nota is 'What to beware of, in Spanish; null for nothing.';
