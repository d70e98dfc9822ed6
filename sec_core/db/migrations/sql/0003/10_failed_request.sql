alter table circuito_fuente add column fallo_de text;
comment on column circuito_fuente.fallo_de is
    'The request that had all failures in a row, null if there were several: one alone does not open the circuit.';
