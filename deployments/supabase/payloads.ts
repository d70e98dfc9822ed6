// Generated from the models in sec_core/gold/payloads by `python -m scripts.contract`; do not edit.

/** One company that the source named. */
export interface CompanyRankingRow {
  /** The company. */
  nombre_empresa: string;
  /** Number of its events. */
  total_eventos: number;
  /** Sum of their customers (high-water marks). */
  total_clientes_afectados: number;
  /** Mean of their customers, two decimals. */
  promedio_afectados: number;
}

/** One month, in hours that have ended; the columns of states add up to `horas_esperadas`. */
export interface CoverageRow {
  /** Month, `YYYY-MM-01`, Chile wall clock. */
  mes: string;
  /** Hours that the source can have and that have ended; the month of the September change has one less, since an hour is skipped (see `sec_core.hours`). */
  horas_esperadas: number;
  /** Hours with data. */
  capturadas: number;
  /** Hours for which the source says that it has no data. */
  vacias: number;
  /** Hours that could not be had. */
  fallidas: number;
  /** Hours whose answer fits no known shape. */
  en_cuarentena: number;
  /** Hours not asked for yet. */
  pendientes: number;
  /** `capturadas` over `horas_esperadas`; null while no hour has ended. */
  cobertura: number | null;
  /** Captured hours in the detailed shape (with company and start date). */
  detalladas: number;
  /** Captured hours in the aggregated shape (by comuna only). */
  agregadas: number;
  /** Captured hours that are in Silver. */
  cargadas: number;
  /** Source rows of the captured hours. */
  filas: number;
}

/** The newest customer figure of a region and how old it is. */
export interface Denominator {
  /** Region, or `CHILE` for the country. */
  nombre_region: string;
  /** Customers that indices are divided by. */
  universo: number;
  /** Month for which the figure was had. */
  mes: string;
  /** `MMYYYY` as the SEC states it, or null. */
  periodo_star: string | null;
  /** Months from the period that the SEC states (else `mes`) to the newest loaded hour; null before anything is loaded. */
  antiguedad_meses: number | null;
}

/** One region. */
export interface InvestmentRoiRow {
  /** Region. */
  nombre_region: string;
  /** Sum of its events' customers over the whole history. */
  clientes_afectados: number;
  /** Investment of its projects, millions of US dollars, published as `total_inversión_mmu`: projects that were rejected, withdrawn or lapsed are left out; one that spans regions counts its share. */
  "total_inversión_mmu": number;
  /** Customers affected for each million; null without investment. */
  efficiency_ratio: number | null;
  /** When an effect can be expected, from the dates of approval. */
  maturity_note: string;
}

/** One comuna and company. */
export interface MarketMapRow {
  /** Region, `UNKNOWN` where the source's names did not resolve. */
  nombre_region: string;
  /** Comuna, or `UNKNOWN`. */
  nombre_comuna: string;
  /** Company, `UNKNOWN`, or `NO INFORMADA` where the source names none. */
  nombre_empresa: string;
  /** Sum of the events' customers (high-water marks). */
  total_afectados: number;
  /** Number of events. */
  frecuencia: number;
  /** `total_afectados` over the region's customers in percent, at most 100; null where the region's customers are not known. */
  instability_index: number | null;
}

/** What the publication rests on. */
export interface MetaRow {
  /** When it was made, UTC. */
  generado: string;
  /** First loaded hour, UTC, or null. */
  primera_hora: string | null;
  /** Newest loaded hour, UTC, or null. */
  ultima_hora: string | null;
  /** Shapes of the loaded hours by month. */
  formas: ShapeMonth[];
  /** Months in which the source names companies (at least one detailed hour). */
  meses_con_empresa: string[];
  /** Thresholds in force. */
  umbrales: Thresholds;
  /** Newest denominator of each region. */
  denominadores: Denominator[];
  /** Sizes. */
  totales: Totals;
  /** Mix of forms behind the sums of what was seen. */
  mezcla: ShapeMix;
  /** What began before anything of its month was seen. */
  fuera_de_ventana: Outside;
  /** Where the data comes from: the word of `origenes` if there is one; `desconocido` for the SEC's and unknown hours together or none at all, `mixto` for any others together. What is not `SEC` or `desconocido` is not the SEC's. */
  origen: string;
  /** Loaded hours by where they come from. */
  origenes: OriginHours[];
  /** Version of the method; docs/definitions.md says what changed with each. */
  version_metodo: string;
  /** Version of the code. */
  version: string;
  /** The source's name. */
  fuente: string;
  /** The source's address. */
  fuente_url: string;
  /** How to cite. */
  cita: string;
  /** Terms. */
  licencia: string;
}

/** One region, or the country as `CHILE`, in one month with a loaded hour. Every part is 0 to 1, null if unknown. */
export interface MonthQualityRow {
  /** Month, Chile wall clock. */
  mes: string;
  /** Region or `CHILE`. */
  nombre_region: string;
  /** Ended hours that are loaded and not suspect; 1 is best. */
  cobertura: number;
  /** Ended hours that are interpolated; 0 is best, as for all that follow. */
  interpolada: number;
  /** Source rows in observations that an imputation rule touched. */
  imputadas: number | null;
  /** Ended hours that hold a corrupt cycle which stayed. */
  sospechosas: number;
  /** Differences from the source's own national series over that series, in the hours that it has; at most 1. */
  diferencia: number | null;
  /** Age of the denominator over ten years; at most 1. */
  antiguedad: number;
  /** Customer-hours from values that stood still for 168 hours or more. */
  estancado: number | null;
}

/** One official figure. */
export interface OfficialRow {
  /** Year. */
  anho: number;
  /** Region, or `CHILE`. */
  nombre_region: string;
  /** Official SAIDI, hours for each customer. */
  saidi_oficial: number;
  /** The months of the year that it holds; null for all. */
  parcial: string | null;
  /** Whether two sources agree on it. */
  verificado: boolean;
  /** Where it was read. */
  fuente: string;
  /** The estimate of the same months, hours for each customer; null where too little was seen of them. */
  saidi: number | null;
  /** Lower bound of its 95% interval. */
  saidi_inf: number | null;
  /** Upper bound of its 95% interval. */
  saidi_sup: number | null;
  /** saidi over saidi_oficial. */
  razon: number | null;
  /** Share of the hours of these months that are loaded; null where none is expected. */
  cobertura: number | null;
}

/** How many loaded hours come from one source; 0 where only customers (`denominadores`) do. */
export interface OriginHours {
  /** `SEC` (its host, or an import), `SIMULACIÓN`, `REPETICIÓN`, another host by its name, or `desconocido`: from before the host was kept. */
  origen: string;
  horas: number;
}

/** Events that begin in a month without a loaded hour: they stand in no month of `time_series`. */
export interface Outside {
  eventos: number;
  clientes: number;
}

/** One region. */
export interface ProjectDistributionRow {
  /** Region. */
  nombre_region: string;
  /** Projects in it; one that spans regions counts in each. */
  count: number;
}

/** One imputation rule. */
export interface QualityRow {
  /** The rule, in the dashboard's words. */
  category: string;
  /** Source rows that it touched (for the cap: events). */
  count: number;
  /** Their share, 0.0 to 1.0, of all source rows loaded (for the cap: of all events). */
  percentage: number;
}

/** One region, or the country as `CHILE`, in one month with a loaded hour. */
export interface ReliabilityRow {
  /** Month, Chile wall clock. */
  mes: string;
  /** Region or `CHILE`, which also counts places that did not resolve. */
  nombre_region: string;
  /** Customers served: the denominator. */
  clientes: number;
  /** Months between this month and the denominator's. */
  meses_denominador: number;
  /** `medido`: every ended hour is loaded. `estimado`: half of them or more are loaded or lie between two loaded ones at most 12 hours apart, and at most 120 in a row are neither. `insuficiente`: less. */
  metodo: "medido" | "estimado" | "insuficiente";
  /** Hours without supply per customer, estimated for all ended hours; null where metodo is insuficiente. */
  saidi: number | null;
  /** Lower bound of its 95% interval; equal to saidi where metodo is medido. */
  saidi_inf: number | null;
  /** Upper bound of its 95% interval. */
  saidi_sup: number | null;
  /** Hours without supply per customer in loaded hours alone. */
  saidi_observado: number | null;
  /** Customers newly out, as snapshots show them, per customer; a lower bound where cubierto is false. */
  saifi: number | null;
  /** High-water marks of the events that begin in the month, per customer. */
  saifi_eventos: number;
  /** Hours per interruption: saidi over saifi; null where saifi is a lower bound or 0. */
  caidi: number | null;
  /** saidi without major event days; null where no threshold can be computed (see nota). */
  saidi_sin_med: number | null;
  /** saifi without major event days; null where it is a lower bound. */
  saifi_sin_med: number | null;
  /** caidi without major event days. */
  caidi_sin_med: number | null;
  /** Major event days in the month. */
  dias_med: number | null;
  /** Estimated daily SAIDI above which a day is one, hours per customer. */
  umbral_med: number | null;
  /** Days that the threshold rests on: only those of years that were seen alike. */
  dias_base: number;
  /** Highest share of customers out in one loaded hour. Above 1 where the denominator is older than the customers. */
  punta: number | null;
  /** Share of the month's ended hours that are loaded and not suspect. */
  cobertura: number;
  /** Share of the month's ended hours that are interpolated. */
  interpolada: number;
  /** Whether cobertura reaches 95%. */
  cubierto: boolean;
  /** Share of the observed customer-hours from values that stood still for 168 hours or more. */
  estancado: number | null;
  /** Why something is null or a bound. */
  nota: string | null;
  /** Where the figures come from. */
  etiqueta: string;
}

/** Aggregated events of one year under one threshold, before any cap. */
export interface SensitivityRow {
  /** Customers from which an hour of a comuna belongs to an event. */
  umbral: number;
  /** Year of the events' first hours, Chile wall clock. */
  anho: number;
  /** Number of events. */
  eventos: number;
  /** Sum of their high-water marks. */
  clientes: number;
  /** Sum of their customer-hours over loaded hours. */
  cliente_horas: number;
}

/** Loaded hours of the whole history by form: sums over both forms count what was seen in different ways. */
export interface ShapeMix {
  detalladas: number;
  agregadas: number;
}

/** Loaded hours of a month by shape. Only the detailed shape names companies and start dates. */
export interface ShapeMonth {
  mes: string;
  detalladas: number;
  agregadas: number;
}

/** A storm: connected comunas without power, measured above their usual level. Null is what a gap hides. */
export interface StormRow {
  /** MD5 of `YYYYMMDDTHH|code`: first hour in Chile, lowest code hit in it; as a UUID. */
  id: string;
  /** Name from the reviewed list, in Spanish, or null. */
  nombre: string | null;
  /** First loaded hour in which a comuna is hit, UTC. */
  inicio: string;
  /** Hour from which the curve stays at or under 5% of its peak, UTC; null while open. */
  fin: string | null;
  /** Hour of the peak, UTC. */
  hora_punta: string;
  /** Most customers out above the usual level in a loaded hour. */
  punta: number;
  /** Customer-hours above the usual level; null where a gap lies inside. */
  cliente_horas: number | null;
  /** Comunas hit. */
  comunas: number;
  /** Codes of their regions, parted by commas. */
  regiones: string;
  /** Hours from the beginning to the peak. */
  horas_hasta_punta: number | null;
  /** Hours from the peak until half of it is restored. */
  horas_50: number | null;
  /** Hours from the peak until 90% of it are restored. */
  horas_90: number | null;
  /** Hours from the peak until 95% of it are restored. */
  horas_95: number | null;
  /** Sum of the rises of the curve from hour to hour: customers. */
  salidas: number | null;
  /** Sum of the falls of the curve from hour to hour: customers. */
  reposiciones: number | null;
  /** Most customers restored in an hour. */
  reposicion_maxima: number | null;
  /** Loaded hours over expected ones, from beginning to end. */
  cobertura: number;
  /** Whether it has no end yet. */
  abierta: boolean;
  /** What to beware of, in Spanish, or null. */
  nota: string | null;
}

/** The settings that decide what an aggregated event is, what is interpolated, and what counts as covered. */
export interface Thresholds {
  umbral_evento: number;
  horas_cierre: number;
  horas_sin_datos_max: number;
  horas_interpoladas_max: number;
  cobertura_minima: number;
}

/** One region in one month. */
export interface TimeSeriesRow {
  /** Month of the events' beginning, `YYYY-MM-01`, Chile wall clock. */
  mes: string;
  /** Region, or `UNKNOWN`. */
  nombre_region: string;
  /** Sum of the events' customers (high-water marks). */
  afectados: number;
}

/** Sizes, over the whole history. */
export interface Totals {
  eventos: number;
  eventos_abiertos: number;
  clientes_afectados: number;
  horas_cargadas: number;
  filas: number;
  observaciones: number;
}

/** One work. */
export interface ValidationRow {
  /** Its name. */
  project: string;
  /** Year in which it went into service. */
  year: number;
  /** `Inmediato` if the first year after, or all years together, fell against the comparison; `Lag (N Años)` if only year N did; `Sin efecto`; `Datos insuficientes` where it can't be decided. */
  type: "Inmediato" | "Lag (2 Años)" | "Lag (3 Años)" | "Lag (4 Años)" | "Sin efecto" | "Datos insuficientes";
  /** Change of customer-hours per customer against the comparison, in percent; null where data don't carry it. */
  delta: number | null;
  /** What it rests on, and the smallest fall that could have been seen. */
  context: string;
}

/** Column `data` of table dashboard_stats by its `id`. */
export interface DashboardStats {
  market_map: MarketMapRow[];
  time_series: TimeSeriesRow[];
  company_ranking: CompanyRankingRow[];
  investment_roi: InvestmentRoiRow[];
  investment_validation: ValidationRow[];
  eda_quality_stats: QualityRow[];
  eda_projects_dist: ProjectDistributionRow[];
  reliability: ReliabilityRow[];
  quality: MonthQualityRow[];
  sensitivity: SensitivityRow[];
  official_comparison: OfficialRow[];
  storms: StormRow[];
  coverage: CoverageRow[];
  meta: MetaRow[];
}
