#include "CPoison.h"
