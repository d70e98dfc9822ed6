-- Customers by comuna: what billing files say, and the estimate that indices divide by.

create table facturacion_comunal (
    mes           date not null check (extract(day from mes) = 1),
    codigo_comuna text not null,
    clientes      bigint not null check (clientes >= 0),
    archivo       text not null,
    importado_en  timestamptz not null,
    primary key (mes, codigo_comuna)
);
comment on table facturacion_comunal is 'Regulated customers by comuna as CNE''s monthly billing files state them, summed over kind and tariff; read by sec customers.';
comment on column facturacion_comunal.mes is 'First day of the month that the file states.';
comment on column facturacion_comunal.codigo_comuna is 'Official comuna code (CUT), five digits.';
comment on column facturacion_comunal.clientes is 'Customers billed.';
comment on column facturacion_comunal.archivo is 'Name of the file.';
comment on column facturacion_comunal.importado_en is 'When this figure was taken in.';

create table clientes_comunales (
    mes           date not null check (extract(day from mes) = 1),
    codigo_comuna text not null,
    clientes      bigint not null check (clientes >= 0),
    metodo        text not null check (metodo in ('facturacion', 'viviendas')),
    fuente        text not null,
    primary key (mes, codigo_comuna)
);
comment on table clientes_comunales is 'Customers by comuna, an estimate: a region''s customers shared out among its comunas, to which they sum. Made by each build of Gold; see docs/estimates.md for the error.';
comment on column clientes_comunales.mes is 'First day of the month, wall clock of America/Santiago; months for which the region has a denominator.';
comment on column clientes_comunales.codigo_comuna is 'Official comuna code (CUT), five digits.';
comment on column clientes_comunales.clientes is 'Customers: an estimate.';
comment on column clientes_comunales.metodo is 'facturacion (by CNE''s billing files, regulated customers) or viviendas (by counted dwellings); one for a region and year.';
comment on column clientes_comunales.fuente is 'Where the shares come from.';
