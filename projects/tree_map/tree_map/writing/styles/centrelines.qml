<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>
<qgis version="3.22.0" styleCategories="Symbology">
  <renderer-v2 type="RuleRenderer" symbollevels="0" forceraster="0" enableorderby="0">
    <rules key="{1d0c8a52-5f0e-4c0e-9a52-6c1f2a7d3e00}">
      <rule key="{1d0c8a52-5f0e-4c0e-9a52-6c1f2a7d3e01}" symbol="0" filter="&quot;direction&quot; = 'fall'" label="direction of fall"/>
      <rule key="{1d0c8a52-5f0e-4c0e-9a52-6c1f2a7d3e02}" symbol="1" filter="ELSE" label="base and top not told apart"/>
    </rules>
    <symbols>
      <symbol name="0" type="line" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleLine" enabled="1" locked="0" pass="0">
          <Option type="Map">
            <Option name="line_color" value="11,37,69,255" type="QString"/>
            <Option name="line_style" value="solid" type="QString"/>
            <Option name="line_width" value="0.12" type="QString"/>
            <Option name="line_width_unit" value="MM" type="QString"/>
            <Option name="capstyle" value="round" type="QString"/>
            <Option name="joinstyle" value="round" type="QString"/>
          </Option>
        </layer>
        <layer class="MarkerLine" enabled="1" locked="0" pass="0">
          <Option type="Map">
            <Option name="placement" value="lastvertex" type="QString"/>
            <Option name="rotate" value="1" type="QString"/>
          </Option>
          <symbol name="@0@1" type="marker" alpha="1" clip_to_extent="1" force_rhr="0">
            <layer class="SimpleMarker" enabled="1" locked="0" pass="0">
              <Option type="Map">
                <Option name="name" value="filled_arrowhead" type="QString"/>
                <Option name="color" value="11,37,69,255" type="QString"/>
                <Option name="outline_color" value="11,37,69,255" type="QString"/>
                <Option name="outline_style" value="solid" type="QString"/>
                <Option name="size" value="2.2" type="QString"/>
                <Option name="size_unit" value="MM" type="QString"/>
                <Option name="angle" value="0" type="QString"/>
                <Option name="offset" value="0,0" type="QString"/>
              </Option>
            </layer>
          </symbol>
        </layer>
      </symbol>
      <symbol name="1" type="line" alpha="1" clip_to_extent="1" force_rhr="0">
        <layer class="SimpleLine" enabled="1" locked="0" pass="0">
          <Option type="Map">
            <Option name="line_color" value="11,37,69,255" type="QString"/>
            <Option name="line_style" value="solid" type="QString"/>
            <Option name="line_width" value="0.12" type="QString"/>
            <Option name="line_width_unit" value="MM" type="QString"/>
            <Option name="capstyle" value="round" type="QString"/>
            <Option name="joinstyle" value="round" type="QString"/>
          </Option>
        </layer>
      </symbol>
    </symbols>
  </renderer-v2>
  <blendMode>0</blendMode>
  <featureBlendMode>0</featureBlendMode>
</qgis>
