-- Loads of different months prepare their partitions side by side, index included; only joining them to the table, which
-- takes an instant, is done one at a time.

create or replace function preparar_particion(mes date) returns boolean language plpgsql as $$
declare
    primero date := date_trunc('month', mes)::date;
    nombre  text := 'fact_observaciones_' || to_char(primero, 'YYYYMM');
begin
    if exists (select from pg_inherits where inhrelid = to_regclass('public.' || nombre)) then
        return false;
    end if;
    perform pg_advisory_xact_lock(hashtext('preparar_particion'), to_char(primero, 'YYYYMM')::integer);
    if exists (select from pg_inherits where inhrelid = to_regclass('public.' || nombre)) then
        return false;
    end if;
    execute format('create table public.%I (like public.fact_observaciones including all excluding indexes)', nombre);
    execute format('comment on table public.%I is %L', nombre,
        'Partition of fact_observaciones: the Chilean month ' || to_char(primero, 'YYYY-MM') || '.');
    return true;
end
$$;
comment on function preparar_particion(date) is 'Makes the table for the Chilean month of a date, without index and not yet part of fact_observaciones, and says whether it did: not where the partition exists. To be followed by indexar_particion and unir_particion in the same transaction.';

create function indexar_particion(mes date) returns void language plpgsql as $$
begin
    -- Filling a table with its index in place takes twice as long as making the index afterwards.
    execute format(
        'alter table public.%I add unique nulls not distinct (hora, id_geografia, id_empresa, fecha_inicio)',
        'fact_observaciones_' || to_char(mes, 'YYYYMM'));
end
$$;
comment on function indexar_particion(date) is 'Gives the table of preparar_particion, once it is filled, the index that fact_observaciones asks of it.';

comment on function unir_particion(date) is 'Makes the table of preparar_particion a partition of fact_observaciones, with an index if it has none. Until the transaction ends nobody else can do so.';
