# plot.sh FILE COUNT: draws COUNT bars.
set -e
{
  echo '<svg xmlns="http://www.w3.org/2000/svg" width="100" height="100">'
  i=0
  while [ "$i" -lt "$2" ]; do
    echo "  <rect x=\"$((i * 30))\" y=\"10\" width=\"20\" height=\"80\"/>"
    i=$((i + 1))
  done
  echo '</svg>'
} > "$1"
