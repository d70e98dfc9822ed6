-- Dimensions of the star. Ids are facts (official codes, numbers of the reference file), the same in every database.

create table dim_geografia (
    id_geografia   smallint primary key,
    codigo_comuna  text not null unique,
    nombre_comuna  text not null,
    codigo_region  text not null,
    nombre_region  text not null,
    nombre_oficial text not null
);
comment on table dim_geografia is 'The 346 comunas of Chile as of today, and UNKNOWN. Kept equal to the project''s reference file.';
comment on column dim_geografia.id_geografia is 'Official comuna code as a number; 0 is UNKNOWN.';
comment on column dim_geografia.codigo_comuna is 'Official comuna code (CUT), five digits with leading zero; empty for UNKNOWN.';
comment on column dim_geografia.nombre_comuna is 'Name in upper case without accents (NUNOA).';
comment on column dim_geografia.codigo_region is 'Official region code, two digits; empty for UNKNOWN.';
comment on column dim_geografia.nombre_region is 'The region''s short name in upper case without accents, as the dashboard writes it; the comuna''s official region today.';
comment on column dim_geografia.nombre_oficial is 'Official spelling of the comuna, with accents.';

create table dim_empresa (
    id_empresa     smallint primary key,
    nombre_empresa text not null unique
);
comment on table dim_empresa is 'Distribution companies. Kept equal to the project''s reference file.';
comment on column dim_empresa.id_empresa is 'Number fixed in the reference file; 0 UNKNOWN (named, but blank or unresolvable), 1 NO INFORMADA (the source''s shape has no company).';
comment on column dim_empresa.nombre_empresa is 'Name in upper case without accents.';

create table dim_tiempo (
    id_tiempo integer primary key,
    inicio    timestamptz not null unique,
    fecha     date not null,
    anho      smallint not null,
    mes       smallint not null check (mes between 1 and 12),
    dia       smallint not null check (dia between 1 and 31),
    hora      smallint not null check (hora between 0 and 23)
);
comment on table dim_tiempo is 'Hours of the Chilean calendar, filled a month at a time by asegurar_tiempo. The hour repeated at the April change exists once, as its first occurrence; the hour skipped at the September change does not exist.';
comment on column dim_tiempo.id_tiempo is 'YYYYMMDDHH of the wall clock of America/Santiago.';
comment on column dim_tiempo.inicio is 'Instant at which the hour begins.';
comment on column dim_tiempo.fecha is 'Day, wall clock of America/Santiago.';
comment on column dim_tiempo.anho is 'Year, wall clock of America/Santiago.';
comment on column dim_tiempo.mes is 'Month 1 to 12, wall clock of America/Santiago.';
comment on column dim_tiempo.dia is 'Day of the month, wall clock of America/Santiago.';
comment on column dim_tiempo.hora is 'Hour 0 to 23, wall clock of America/Santiago.';

-- Several loads may ask for the same month at once: the rows are facts, so whoever comes second changes nothing.
create function asegurar_tiempo(mes date) returns void language sql set timezone = 'UTC' as $$
    insert into dim_tiempo (id_tiempo, inicio, fecha, anho, mes, dia, hora)
    select distinct on (1)
        to_char(pared, 'YYYYMMDDHH24')::integer, instante, pared::date,
        extract(year from pared)::smallint, extract(month from pared)::smallint,
        extract(day from pared)::smallint, extract(hour from pared)::smallint
    from (
        select instante, instante at time zone 'America/Santiago' as pared
        from generate_series(
            date_trunc('month', $1::timestamp) at time zone 'America/Santiago',
            ((date_trunc('month', $1::timestamp) + interval '1 month') at time zone 'America/Santiago') - interval '1 hour',
            interval '1 hour'
        ) as instante
    ) as horas
    order by 1, instante
    on conflict do nothing
$$;
comment on function asegurar_tiempo(date) is 'Fills dim_tiempo with all hours of the month of a date; calling it again changes nothing.';

insert into dim_geografia values (0, '', 'UNKNOWN', '', 'UNKNOWN', 'UNKNOWN');
insert into dim_empresa values (0, 'UNKNOWN'), (1, 'NO INFORMADA');
