-- What Gold reads beside Silver, and what it publishes.

create table proyectos_seia (
    id_proyecto        text not null,
    codigo_region      text not null,
    nombre_region      text not null,
    nombre             text not null,
    tipo_proyecto      text not null,
    categoria          text not null check (categoria in ('transmission', 'generation')),
    titular            text,
    inversion_mmu      double precision check (inversion_mmu >= 0),
    inversion_total_mmu double precision check (inversion_total_mmu >= 0),
    n_regiones         smallint not null check (n_regiones >= 1),
    fecha_presentacion date,
    fecha_calificacion date,
    estado             text,
    sector             text,
    primary key (id_proyecto, codigo_region)
);
comment on table proyectos_seia is 'Energy projects in the environmental assessment system (SEIA): a row for each project and region.';
comment on column proyectos_seia.id_proyecto is 'Number of the project''s file where the export states it, else the MD5 of its name, owner and day of submission.';
comment on column proyectos_seia.codigo_region is 'Official region code, two digits.';
comment on column proyectos_seia.nombre_region is 'Region, in the dashboard''s short form.';
comment on column proyectos_seia.nombre is 'Name of the project, as exported.';
comment on column proyectos_seia.tipo_proyecto is 'Type as exported, for example b1 or DS95/DS40-b1.';
comment on column proyectos_seia.categoria is 'transmission (lines and substations, types b1 and b2) or generation (type c).';
comment on column proyectos_seia.titular is 'Owner of the project.';
comment on column proyectos_seia.inversion_mmu is 'Investment counted in this region, millions of US dollars: a project that spans regions is split evenly between them. Null where none is stated.';
comment on column proyectos_seia.inversion_total_mmu is 'Investment in the whole project, millions of US dollars.';
comment on column proyectos_seia.n_regiones is 'Regions that the project spans.';
comment on column proyectos_seia.fecha_presentacion is 'Day on which it was submitted.';
comment on column proyectos_seia.fecha_calificacion is 'Day on which it was decided.';
comment on column proyectos_seia.estado is 'State as exported, for example Aprobado.';
comment on column proyectos_seia.sector is 'Productive sector as exported.';

create table dashboard_stats (
    id         text primary key,
    data       jsonb not null,
    updated_at timestamptz not null default now()
);
comment on table dashboard_stats is 'The dashboard''s payloads as last published locally.';
comment on column dashboard_stats.id is 'Name of the payload, for example market_map.';
comment on column dashboard_stats.data is 'The payload: a JSON list of objects with the documented keys.';
comment on column dashboard_stats.updated_at is 'When it was published.';
