"""The places and companies of the simulated country, spelled as the SEC spells them.

Facts written down from answers of the SEC: its names of regions and comunas (accents dropped, some kept, some
misspelled), the customers of each region as of May 2019, and which company was seen in which region. This table
is kept apart from the pipeline's own reference on purpose: what is wrong in one shows against the other.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Region:
    """A region as the SEC knows it.

    Attributes:
        number: `REGION_ID`, unpadded text.
        name: Short name, as in `GetPorFecha`.
        full_name: Full name, as in `GetClientesRegional`.
        customers: Customers in May 2019.
        companies: Company and its share of the region's outages.
        comunas: Official code (CUT) and the SEC's spelling.
    """

    number: str
    name: str
    full_name: str
    customers: int
    companies: tuple[tuple[str, int], ...]
    comunas: tuple[tuple[str, str], ...]

    @property
    def code(self) -> str:
        """Official two-digit code."""
        return self.number.zfill(2)


# Names that the detailed shape ends with a blank.
BLANK_ENDED = frozenset({"Arauco", "Castro", "Contulmo"})

# Companies of a comuna where it is known better than from its region.
COMUNA_COMPANIES = {
    "07401": (("LUZLINARES", 50), ("CGE", 50)),
    "07404": (("LUZPARRAL", 70), ("CGE", 30)),
    "08301": (("CGE", 50), ("FRONTEL", 30), ("COOPELAN", 20)),
    "09105": (("FRONTEL", 60), ("CODINER", 40)),
    "10401": (("EDELAYSEN", 1),),
    "13101": (("ENEL", 1),),
    "13201": (("EEPA", 60), ("CGE", 40)),
    "13301": (("EEC", 40), ("ENEL", 60)),
}

# Month of the regional figures, and the country's figure of August 2026.
PERIODO_STAR = "052019"
CLIENTES_NACIONAL = 8_156_814


def _region(number: str, name: str, full_name: str, customers: int, companies: str, comunas: str) -> Region:
    shares = tuple((company, int(share)) for company, share in (item.split(":") for item in companies.split()))
    places = tuple((item[:5], item[6:]) for item in comunas.split("|"))
    return Region(number, name, full_name, customers, shares, places)


# In the order in which the SEC lists them.
REGIONS: tuple[Region, ...] = (
    _region(
        "13",
        "Metropolitana",
        "Region Metropolitana de Santiago",
        2_467_769,
        "ENEL:72 CGE:20 EEPA:5 EEC:3",
        "13101 Santiago|13102 Cerrillos|13103 Cerro Navia|13104 Conchali|13105 El Bosque|"
        "13106 Estacion Central|13107 Huechuraba|13108 Independencia|13109 La Cisterna|13110 La Florida|"
        "13111 La Granja|13112 La Pintana|13113 La Reina|13114 Las Condes|13115 Lo Barnechea|13116 Lo Espejo|"
        "13117 Lo Prado|13118 Macul|13119 Maipu|13120 Ñuñoa|13121 Pedro Aguirre Cerda|13122 Peñalolen|"
        "13123 Providencia|13124 Pudahuel|13125 Quilicura|13126 Quinta Normal|13127 Recoleta|13128 Renca|"
        "13129 San Joaquin|13130 San Miguel|13131 San Ramon|13132 Vitacura|13201 Puente Alto|13202 Pirque|"
        "13203 San Jose de Maipo|13301 Colina|13302 Lampa|13303 Tiltil|13401 San Bernardo|13402 Buin|"
        "13403 Calera de Tango|13404 Paine|13501 Melipilla|13502 Alhue|13503 Curacavi|13504 Maria Pinto|"
        "13505 San Pedro|13601 Talagante|13602 El Monte|13603 Isla de Maipo|13604 Padre Hurtado|"
        "13605 Peñaflor",
    ),
    _region(
        "11",
        "Aysén",
        "Region de Aysen del Gral. Carlos Ibañez del Campo",
        41_194,
        "EDELAYSEN:1",
        "11101 Coyhaique|11102 Lago Verde|11201 Aysén|11202 Cisnes|11301 Cochrane|11401 Chile Chico|11402 Rio Ibañez",
    ),
    _region(
        "2",
        "Antofagasta",
        "Region de Antofagasta",
        185_408,
        "CGE:1",
        "02101 Antofagasta|02102 Mejillones|02103 Sierra;rda|02104 Taltal|02201 Calama|02301 Tocopilla",
    ),
    _region(
        "15",
        "Arica y Parinacota",
        "Region de Arica y Parinacota",
        75_542,
        "CGE:1",
        "15101 Arica|15102 Camarones",
    ),
    _region(
        "3",
        "Atacama",
        "Region de Atacama",
        105_044,
        "CGE:1",
        "03101 Copiapo|03102 Caldera|03103 Tierra Amarilla|03201 Chañaral|03202 Diego de Almagro|"
        "03301 Vallenar|03302 Alto del Carmen|03303 Freirina|03304 Huasco",
    ),
    _region(
        "4",
        "Coquimbo",
        "Region de Coquimbo",
        312_175,
        "CGE:1",
        "04101 La Serena|04102 Coquimbo|04103 Andacollo|04104 La Higuera|04105 Paiguano|04106 Vicuña|"
        "04201 Illapel|04202 Canela|04203 Los Vilos|04204 Salamanca|04301 Ovalle|04302 Combarbala|"
        "04303 Monte Patria|04304 Punitagui|04305 Rio Hurtado",
    ),
    _region(
        "9",
        "La Araucania",
        "Region de La Araucania",
        348_255,
        "FRONTEL:70 CGE:20 SAESA:8 CODINER:2",
        "09101 Temuco|09102 Carahue|09103 Cunco|09104 Curarrehue|09105 Freire|09106 Galvarino|09107 Gorbea|"
        "09108 Lautaro|09109 Loncoche|09110 Melipeuco|09111 Nueva Imperial|09112 Padre Las Casas|"
        "09113 Perquenco|09114 Pitrufquen|09115 Pucon|09116 Saavedra|09117 Teodoro Schmidt|09118 Tolten|"
        "09119 Vilcun|09120 Villarrica|09121 Cholchol|09201 Angol|09202 Collipulli|09203 Curacautin|"
        "09204 Ercilla|09205 Lonquimay|09206 Los Sauces|09207 Lumaco|09208 Puren|09209 Renaico|"
        "09210 Traiguen|09211 Victoria",
    ),
    _region(
        "10",
        "Los Lagos",
        "Region de Los Lagos",
        342_183,
        "SAESA:78 LUZOSORNO:14 CRELL:7 EDELAYSEN:1",
        "10101 Puerto Montt|10102 Calbuco|10103 Cochamo|10104 Fresia|10105 Frutillar|10106 Los Muermos|"
        "10107 Llanquihue|10108 Maullin|10109 Puerto Varas|10201 Castro|10202 Ancud|10203 Chonchi|"
        "10204 Curaco de Velez|10205 Dalcahue|10206 Puqueldon|10207 Queilen|10208 Quellon|10209 Quemchi|"
        "10210 Quinchao|10301 Osorno|10302 Puerto Octay|10303 Purranque|10304 Puyehue|10305 Rio Negro|"
        "10306 San Juan de la Costa|10307 San Pablo|10401 Chaiten|10402 Futaleufu|10403 Hualaihue|"
        "10404 Palena",
    ),
    _region(
        "14",
        "Los Rios",
        "Region de Los Rios",
        153_654,
        "SAESA:93 LUZOSORNO:7",
        "14101 Valdivia|14102 Corral|14103 Lanco|14104 Los Lagos|14105 Mafil|14106 Mariquina|14107 Paillaco|"
        "14108 Panguipulli|14201 La Union|14202 Futrono|14203 Lago Ranco|14204 Rio Bueno",
    ),
    _region(
        "12",
        "Magallanes",
        "Region de Magallanes y de la Antartica Chilena",
        63_233,
        "EDELMAG:1",
        "12101 Punta Arenas|12201 Cabo de Hornos (ex-Navarino)|12301 Porvenir|12401 Natales",
    ),
    _region(
        "1",
        "Tarapaca",
        "Region de Tarapaca",
        105_155,
        "CGE:1",
        "01101 Iquique|01107 Alto Hospicio|01401 Pozo Almonte|01403 Colchane|01404 Huara|01405 Pica",
    ),
    _region(
        "5",
        "Valparaiso",
        "Region de Valparaiso",
        780_563,
        "CHILQUINTA:60 CGE:28 EDECSA:6 LITORAL:6",
        "05101 Valparaiso|05102 Casablanca|05103 Concon|05105 Puchuncavi|05107 Quintero|05109 Viña del Mar|"
        "05301 Los Andes|05302 Calle Larga|05303 Rinconada|05304 San Esteban|05401 La Ligua|05402 Cabildo|"
        "05403 Papudo|05404 Petorca|05405 Zapallar|05501 Quillota|05502 La Calera|05503 Hijuelas|"
        "05504 La Cruz|05506 Nogales|05601 San Antonio|05602 Algarrobo|05603 Cartagena|05604 El Quisco|"
        "05605 El Tabo|05606 Santo Domingo|05701 San Felipe|05702 Catemu|05703 Llaillay|05705 Putaendo|"
        "05706 Santa Maria|05801 Quilpue|05802 Limache|05803 Olmue|05804 Villa Alemana",
    ),
    _region(
        "16",
        "Ñuble",
        "Region de Ñuble",
        197_496,
        "COPELEC:45 CGE:38 FRONTEL:12 COELCHA:5",
        "16101 Chillan|16102 Bulnes|16103 Chillan Viejo|16104 El Carmen|16105 Pemuco|16106 Pinto|"
        "16107 Quillón|16108 San Ignacio|16109 Yungay|16201 Quirihue|16202 Cobquecura|16203 Coelemu|"
        "16204 Ninhue|16205 Portezuelo|16206 Ranquil|16207 Treguaco|16301 San Carlos|16302 Coihueco|"
        "16303 Ñiquén|16304 San Fabian|16305 San Nicolas",
    ),
    _region(
        "8",
        "Biobio",
        "Region del Biobio",
        564_360,
        "FRONTEL:50 CGE:38 COOPELAN:5 COPELEC:4 COELCHA:3",
        "08101 Concepcion|08102 Coronel|08103 Chiguayante|08104 Florida|08105 Hualqui|08106 Lota|08107 Penco|"
        "08108 San Pedro de la Paz|08109 Santa Juana|08110 Talcahuano|08111 Tome|08112 Hualpen|08201 Lebu|"
        "08202 Arauco|08203 Cañete|08204 Contulmo|08205 Curanilahue|08206 Los Alamos|08207 Tirua|"
        "08301 Los Angeles|08302 Antuco|08303 Cabrero|08304 Laja|08305 Mulchen|08306 Nacimiento|"
        "08307 Negrete|08308 Quilaco|08309 Quilleco|08310 San Rosendo|08311 Santa Barbara|08312 Tucapel|"
        "08313 Yumbel|08314 Alto Biobio",
    ),
    _region(
        "6",
        "O`Higgins",
        "Region del Libertador Gral. Bernardo O'Higgins",
        352_750,
        "CGE:1",
        "06101 Rancagua|06102 Codegua|06103 Coinco|06104 Coltauco|06105 Doñihue|06106 Graneros|"
        "06107 Las Cabras|06108 Machali|06109 Malloa|06110 Mostazal|06111 Olivar|06112 Peumo|"
        "06113 Pichidegua|06114 Quinta de Tilcoco|06115 Rengo|06116 Requinoa|06117 San Vicente|"
        "06201 Pichilemu|06202 La Estrella|06203 Litueche|06204 Marchihue|06205 Navidad|06206 Paredones|"
        "06301 San Fernando|06302 Chepica|06303 Chimbarongo|06304 Lolol|06305 Nancagua|06306 Palmilla|"
        "06307 Peralillo|06308 Placilla|06309 Pumanque|06310 Santa Cruz",
    ),
    _region(
        "7",
        "Maule",
        "Region del Maule",
        439_807,
        "CGE:84 LUZLINARES:7 LUZPARRAL:5 CEC:4",
        "07101 Talca|07102 Constitucion|07103 Curepto|07104 Empedrado|07105 Maule|07106 Pelarco|"
        "07107 Pencahue|07108 Rio Claro|07109 San Clemente|07110 San Rafael|07201 Cauquenes|07202 Chanco|"
        "07203 Pelluhue|07301 Curico|07302 Hualañé|07303 Licanten|07304 Molina|07305 Rauco|07306 Romeral|"
        "07307 Sagrada Familia|07308 Teno|07309 Vichuquen|07401 Linares|07402 Colbun|07403 Longavi|"
        "07404 Parral|07405 Retiro|07406 San Javier|07407 Villa Alegre|07408 Yerbas Buenas",
    ),
)
