-- Two hours of August 2024 in Silver, a detailed one and an aggregated one, an hour that was empty, three events, and two
-- regions' customers. 7101 is Talca, 11101 Coihaique, 0 UNKNOWN; company 1 is NO INFORMADA, 0 UNKNOWN.
SELECT asegurar_tiempo('2024-08-01'), asegurar_particion('2024-08-01');
INSERT INTO capturas (hora, estado, forma, n_filas) VALUES
    ('2024-08-01 04:00+00', 'captured', 'detailed', 3),
    ('2024-08-01 05:00+00', 'captured', 'aggregated', 3),
    ('2024-08-01 06:00+00', 'empty', NULL, NULL);
INSERT INTO cargas (hora, forma, capturado_en, sha256, n_filas, n_observaciones, clientes)
    SELECT hora, forma, hora, 'x', 3, 2, 900 FROM capturas WHERE estado = 'captured';
INSERT INTO fact_observaciones
    SELECT hora::timestamptz, comuna, coalesce(id_empresa, 0), inicio::date, clientes, filas, 0
    FROM (VALUES
        ('2024-08-01 04:00+00', 7101, 'CGE', '2024-08-01', 600, 2),
        ('2024-08-01 04:00+00', 0, 'UNKNOWN', '2024-08-01', 7, 1),
        ('2024-08-01 05:00+00', 7101, 'NO INFORMADA', NULL, 400, 1),
        ('2024-08-01 05:00+00', 11101, 'NO INFORMADA', NULL, 500, 2)
    ) AS v (hora, comuna, nombre_empresa, inicio, clientes, filas) LEFT JOIN dim_empresa USING (nombre_empresa);
INSERT INTO fact_interrupciones (hash_id, forma, id_geografia, id_empresa, id_tiempo, inicio, fin, clientes_afectados,
        clientes_afectados_crudo, hora_maximo, cliente_horas, n_observaciones, topado, primera_hora, ultima_hora)
    SELECT ('00000000-0000-0000-0000-0000000000' || final)::uuid, forma, comuna, id_empresa, id_tiempo,
        inicio, inicio + interval '1 hour', clientes, clientes, inicio, clientes, 1, topado, inicio, inicio
    FROM (VALUES
        ('aa', 'detailed', 7101, 'CGE', timestamptz '2024-08-01 04:00+00', 600, false),
        ('bb', 'detailed', 0, 'UNKNOWN', '2024-08-01 04:00+00', 7, false),
        ('cc', 'aggregated', 11101, 'NO INFORMADA', '2024-08-01 05:00+00', 500, true)
    ) AS v (final, forma, comuna, nombre_empresa, inicio, clientes, topado)
    JOIN dim_tiempo USING (inicio) JOIN dim_empresa USING (nombre_empresa);
INSERT INTO clientes_regionales (mes, codigo_region, clientes, periodo_star, capturado_en) VALUES
    ('2024-08-01', '07', 3000, '052019', now()),
    ('2024-08-01', '11', 500, '052019', now());
INSERT INTO calidad_imputacion VALUES
    ('2024-08-01', 'clientes', 0, 6),
    ('2024-08-01', 'geografia', 1, 6),
    ('2024-08-01', 'empresa', 1, 6),
    ('2024-08-01', 'fecha', 0, 6),
    ('2024-08-01', 'tope', 1, 3);
