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

/** One region, or the country as `CHILE`, in one month. */
export interface ReliabilityRow {
  /** Month in which the interruptions begin, Chile wall clock. */
  mes: string;
  /** Region or `CHILE`, which also counts places that did not resolve. */
  nombre_region: string;
  /** Customers served: the denominator. */
  clientes: number;
  /** Months between this month and the denominator's. */
  meses_denominador: number;
  /** Interruptions per customer: sum of clientes_afectados over clientes. */
  saifi: number;
  /** Hours per customer: sum of cliente_horas over clientes. */
  saidi: number;
  /** Hours per interruption: saidi over saifi; null where nobody was affected. */
  caidi: number | null;
  /** The same without major event days; null where no threshold can be computed. */
  saifi_sin_med: number | null;
  /** The same without major event days. */
  saidi_sin_med: number | null;
  /** The same without major event days. */
  caidi_sin_med: number | null;
  /** Major event days in the month. */
  dias_med: number | null;
  /** Daily SAIDI above which a day is one, hours per customer. */
  umbral_med: number | null;
  /** Days that the threshold rests on. */
  dias_base: number;
  /** Highest share of customers out in one captured hour; null without captured hours. Above 1 where the denominator is older than the customers. */
  punta: number | null;
  /** Share of the month's ended hours that are in Silver; null while none has ended. */
  cobertura: number | null;
  /** Whether that share reaches 95%. */
  cubierto: boolean;
  /** Where the figures come from. */
  etiqueta: string;
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
  /** `Immediate` if the first year after improved, `Lag` if only the second or third did, `No improvement`, or `insufficient data`. Improved means that the whole 95% confidence interval lies below zero. */
  type: "Immediate" | "Lag" | "No improvement" | "insufficient data";
  /** Change of the rate in percent: of the three years after, for `Lag` of the first year that improved; null where data don't carry it. */
  delta: number | null;
  /** Rates, confidence interval and what they rest on, in a sentence. */
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
  coverage: CoverageRow[];
  meta: MetaRow[];
}
